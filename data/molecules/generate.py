"""Writes the *.xyz of this folder: one relaxed, neutral molecule each.

    python -m venv venv
    venv/bin/pip install ase==3.29.0 rdkit==2026.9.1 tblite==0.8.0 numpy==2.2.6
    OMP_NUM_THREADS=1 venv/bin/python generate.py [NAME ...]

RDKit: ETKDGv3 with SEED, then MMFF94. Then GFN2-xTB (C. Bannwarth et al., J. Chem. Theory Comput. 2019, 15, 1652)
down to a largest force of FMAX, away from saddle points (no imaginary frequency is left). Each result is checked:
bonds and stereocentres are those of the SMILES and no three bonded atoms lie on a line.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.optimize import BFGS
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from tblite.ase import TBLite

SEED = 7
FMAX = 0.005  # eV/Å
SADDLE_STEP = 0.2  # Å, largest displacement of an atom along an imaginary mode before relaxing again
BOND_SCALE = 1.25  # of the sum of the covalent radii of Cordero et al., as md_core::bonds::DEFAULT_SCALE
LARGEST_ANGLE = 165.0  # degrees

SMILES = {
    "water": "O",
    "methane": "C",
    "alanine": "C[C@H](N)C(=O)O",
    "valine": "CC(C)[C@H](N)C(=O)O",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "benzocaine": "CCOC(=O)c1ccc(N)cc1",
    "caffeine": "Cn1cnc2c1C(=O)N(C)C(=O)N2C",
    "ibuprofen": "CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O",
    "nicotine": "CN1CCC[C@H]1c1cccnc1",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "phenacetin": "CCOc1ccc(NC(C)=O)cc1",
    "salicylic_acid": "OC(=O)c1ccccc1O",
    "isoniazid": "NNC(=O)c1ccncc1",
    "metformin": "CN(C)C(=N)NC(=N)N",
    "dopamine": "NCCc1ccc(O)c(O)c1",
    "epinephrine": "CNC[C@H](O)c1ccc(O)c(O)c1",
    "ephedrine": "CN[C@@H](C)[C@H](O)c1ccccc1",
    "theobromine": "Cn1cnc2c1C(=O)NC(=O)N2C",
    "amphetamine": "C[C@H](N)Cc1ccccc1",
}


def embed(smiles):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = SEED
    assert AllChem.EmbedMolecule(molecule, parameters) == 0, smiles
    assert AllChem.MMFFOptimizeMolecule(molecule, mmffVariant="MMFF94", maxIters=5000) == 0, smiles
    return molecule


def lowest_mode(atoms, step=0.005):
    """Lowest harmonic frequency in 1/cm (negative if imaginary) and its Cartesian displacements, rigid motion
    projected out."""
    x0 = atoms.positions.copy()
    n = 3 * len(atoms)
    hessian = np.empty((n, n))
    for k in range(n):
        forces = []
        for sign in (1, -1):
            x = x0.copy()
            x.flat[k] += sign * step
            atoms.positions = x
            forces.append(atoms.get_forces().ravel())
        hessian[k] = (forces[1] - forces[0]) / (2 * step)
    atoms.positions = x0
    root_mass = np.sqrt(np.repeat(atoms.get_masses(), 3))
    hessian = (hessian + hessian.T) / 2 / np.outer(root_mass, root_mass)
    rigid = [np.tile(axis, len(atoms)) * root_mass for axis in np.eye(3)]
    rigid += [np.cross(axis, x0).ravel() * root_mass for axis in np.eye(3)]
    q, _ = np.linalg.qr(np.array(rigid).T)
    internal = np.linalg.svd(q.T)[2][6:]  # rows: an orthonormal basis of what is not rigid motion
    eigenvalues, vectors = np.linalg.eigh(internal @ hessian @ internal.T)
    per_second = 1e10 * np.sqrt(abs(eigenvalues[0]) * units._e / units._amu)
    frequency = np.sign(eigenvalues[0]) * per_second * units._hbar / units._e / units.invcm
    return frequency, (vectors[:, 0] @ internal / root_mass).reshape(-1, 3)


def relax(molecule):
    """The minimum below the embedded geometry and its lowest frequency in 1/cm."""
    atoms = Atoms([a.GetSymbol() for a in molecule.GetAtoms()], molecule.GetConformer().GetPositions())
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.1, verbosity=0)
    for _ in range(4):
        assert BFGS(atoms, logfile=None).run(fmax=FMAX, steps=2000)
        frequency, mode = lowest_mode(atoms)
        if frequency > 0:
            atoms.positions -= atoms.get_center_of_mass()
            return atoms, frequency
        atoms.positions += SADDLE_STEP * mode / np.abs(mode).max()
    raise RuntimeError(f"still a saddle point: {frequency} 1/cm")


def check_topology(molecule, atoms):
    distances = atoms.get_all_distances()
    radii = covalent_radii[atoms.numbers]
    near = np.triu(distances < BOND_SCALE * (radii[:, None] + radii), k=1)
    found = {(int(i), int(j)) for i, j in np.argwhere(near)}
    expected = {tuple(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))) for b in molecule.GetBonds()}
    assert found == expected, found ^ expected
    for a in molecule.GetAtoms():
        around = [n.GetIdx() for n in a.GetNeighbors()]
        for k, i in enumerate(around):
            for j in around[k + 1 :]:
                assert atoms.get_angle(i, a.GetIdx(), j) < LARGEST_ANGLE, (i, a.GetIdx(), j)


def check_stereo(molecule, atoms):
    wanted = Chem.FindMolChiralCenters(molecule, useLegacyImplementation=False)
    relaxed = Chem.Mol(molecule)
    for i, position in enumerate(atoms.positions):
        relaxed.GetConformer().SetAtomPosition(i, position.tolist())
    Chem.AssignStereochemistryFrom3D(relaxed)
    assert Chem.FindMolChiralCenters(relaxed, useLegacyImplementation=False) == wanted, wanted
    return "".join(label for _, label in wanted)


def main(names):
    method = (
        f"RDKit {version('rdkit')} ETKDGv3 (seed {SEED}) + MMFF94, then GFN2-xTB "
        f"(tblite {version('tblite')}, ASE {version('ase')} BFGS, fmax {FMAX} eV/A)"
    )
    for name in names:
        molecule = embed(SMILES[name])
        atoms, frequency = relax(molecule)
        check_topology(molecule, atoms)
        stereo = check_stereo(molecule, atoms)
        formula = CalcMolFormula(molecule)
        comment = (
            f'Properties=species:S:1:pos:R:3 name={name} formula={formula} smiles="{SMILES[name]}" charge=0 '
            f'bonds={molecule.GetNumBonds()} method="{method}" pbc="F F F"'
        )
        rows = [f"{s:2s} {x:13.8f} {y:13.8f} {z:13.8f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions)]
        text = "\n".join([str(len(atoms)), comment, *rows]) + "\n"
        Path(__file__).with_name(f"{name}.xyz").write_text(text)
        print(f"{name:15s} {len(atoms):3d} {formula:10s} {stereo:2s} lowest {frequency:7.1f} cm^-1", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or SMILES)
